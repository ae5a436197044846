MODEL (
  name core.airports,
  kind FULL,
  description 'Airports with their region, cut by longitude: good enough to group routes.',
  grain airport,
  tags (core),
  audits (
    unique_values(columns := (airport)),
    not_null(columns := (airport, region))
  )
);

SELECT
  airport,
  airport_name,
  latitude,
  longitude,
  time_zone,
  CASE
    WHEN airport IN ('JFK', 'LGA', 'EWR') THEN 'New York'
    WHEN latitude > 50 OR longitude < -130 THEN 'Alaska and Pacific'
    WHEN longitude < -114 THEN 'West Coast'
    WHEN longitude < -95 THEN 'Mountains and Plains'
    WHEN latitude < 36.5 THEN 'South'
    ELSE 'Northeast and Lakes'
  END AS region
FROM staging.airports
