MODEL (
  name core.weather,
  kind FULL,
  description 'Hourly weather with a plain word for how hard it makes flying.',
  grain (airport, observed_at),
  tags (core),
  audits (
    accepted_values(column := severity, is_in := ('calm', 'rough', 'severe'))
  )
);

SELECT
  airport,
  observed_at,
  temperature_c,
  wind_kmh,
  gust_kmh,
  rain_mm,
  visibility_km,
  CASE
    WHEN visibility_km < 2 OR rain_mm >= 5 OR wind_kmh >= 45 THEN 'severe'
    WHEN visibility_km < 8 OR rain_mm > 0 OR wind_kmh >= 30 THEN 'rough'
    ELSE 'calm'
  END AS severity
FROM staging.weather
