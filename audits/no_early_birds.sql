AUDIT (
  name no_early_birds,
  defaults (
    earliest = -60
  )
);

/* A flight that leaves an hour before its time is a wrong record, not a punctual airline. */
SELECT *
FROM @this_model
WHERE
  departure_delay < @earliest;
