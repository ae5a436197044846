AUDIT (
  name positive_amount
);

/* An audit returns the rows that should not be there. */
SELECT *
FROM @this_model
WHERE
  amount <= 0
