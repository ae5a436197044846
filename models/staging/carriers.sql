MODEL (
  name staging.carriers,
  kind VIEW,
  description 'Carriers by their two-letter code.',
  grain carrier,
  tags (staging),
  audits (
    unique_values(columns := (carrier))
  )
);

SELECT
  carrier,
  CAST(REGEXP_REPLACE(name, ' (Inc\.|Co\.|Corporation)$', '') AS TEXT) AS carrier_name
FROM raw.airlines
