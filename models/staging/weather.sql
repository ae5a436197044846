MODEL (
  name staging.weather,
  kind VIEW,
  description 'Hourly weather at the airports of New York City in metric units.',
  grain (airport, observed_at),
  tags (staging),
  audits (
    unique_combination_of_columns(columns := (airport, observed_at))
  )
);

SELECT
  origin AS airport,
  time_hour AS observed_at, -- UTC
  ROUND((temp - 32) * 5 / 9, 1) AS temperature_c,
  humid AS relative_humidity,
  ROUND(wind_speed * 1.609344, 1) AS wind_kmh,
  ROUND(wind_gust * 1.609344, 1) AS gust_kmh,
  ROUND(precip * 25.4, 2) AS rain_mm,
  pressure AS pressure_hpa,
  ROUND(visib * 1.609344, 1) AS visibility_km
FROM raw.weather
