MODEL (
  name staging.airports,
  kind VIEW,
  description 'Airports of the United States.',
  grain airport,
  tags (staging),
  audits (
    unique_values(columns := (airport)),
    accepted_range(column := latitude, min_v := -90, max_v := 90),
    accepted_range(column := longitude, min_v := -180, max_v := 180)
  )
);

SELECT
  faa AS airport,
  name AS airport_name,
  lat AS latitude,
  lon AS longitude,
  alt AS altitude_feet,
  tzone AS time_zone
FROM raw.airports
