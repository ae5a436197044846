MODEL (
  name core.planes,
  kind FULL,
  description 'Planes with their age in 2013 and a size class.',
  grain tail_number,
  tags (core),
  audits (
    unique_values(columns := (tail_number)),
    accepted_range(column := age_in_2013, min_v := 0, max_v := 80)
  )
);

SELECT
  tail_number,
  manufacturer,
  model,
  engine_type,
  seats,
  2013 - built_in AS age_in_2013,
  CASE
    WHEN seats <= 20 THEN 'small'
    WHEN seats <= 100 THEN 'regional'
    WHEN seats <= 240 THEN 'narrow body'
    ELSE 'wide body'
  END AS size_class
FROM staging.planes
