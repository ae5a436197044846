AUDIT (
  name shares_add_up,
  blocking false
);

/* Outcomes exclude each other: on time, late, cancelled and diverted cannot be more than there were flights. */
SELECT *
FROM @this_model
WHERE
  on_time + late + cancelled + diverted <> flights;
