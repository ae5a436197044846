MODEL (
  name marts.weather_impact,
  kind FULL,
  description 'What weather at the departure airport costs: delays and cancellations against calm hours.',
  grain (origin, severity),
  tags (mart, weather),
  audits (
    unique_combination_of_columns(columns := (origin, severity))
  )
);

WITH by_severity AS (
  SELECT
    flights.origin,
    weather.severity,
    COUNT(*) AS flights,
    AVG(flights.departure_delay) AS mean_departure_delay,
    COUNT(*) FILTER (WHERE flights.outcome = 'cancelled') / COUNT(*) AS cancelled_share
  FROM core.flights AS flights
  INNER JOIN core.weather AS weather
    ON weather.airport = flights.origin AND weather.observed_at = flights.departure_hour_utc
  GROUP BY
    flights.origin,
    weather.severity
)
SELECT
  observed.origin,
  observed.severity,
  observed.flights,
  observed.mean_departure_delay,
  observed.cancelled_share,
  observed.mean_departure_delay - calm.mean_departure_delay AS extra_delay, -- minutes against calm hours
  observed.cancelled_share / NULLIF(calm.cancelled_share, 0) AS cancelled_ratio -- times as often as in calm hours
FROM by_severity AS observed
LEFT JOIN by_severity AS calm
  ON calm.origin = observed.origin AND calm.severity = 'calm'
