MODEL (
  name marts.routes,
  kind FULL,
  description 'Routes with their traffic, punctuality and how much of a delay the crew makes up on the way.',
  grain route,
  tags (mart, punctuality),
  audits (
    unique_values(columns := (route)),
    accepted_range(column := late_share, min_v := 0, max_v := 1)
  )
);

SELECT
  flights.route,
  flights.origin,
  flights.destination,
  airports.airport_name AS destination_name,
  COALESCE(airports.region, 'Caribbean') AS region, -- the register ends at the coast
  MAX(flights.distance_miles) AS distance_miles,
  COUNT(*) AS flights,
  COUNT(DISTINCT flights.carrier) AS carriers,
  COUNT(*) FILTER (WHERE flights.outcome = 'late') / COUNT(*) AS late_share,
  QUANTILE_CONT(flights.arrival_delay, 0.9) AS arrival_delay_p90,
  AVG(flights.minutes_made_up) AS mean_minutes_made_up
FROM core.landed_flights AS flights
LEFT JOIN core.airports AS airports
  ON airports.airport = flights.destination
GROUP BY
  flights.route,
  flights.origin,
  flights.destination,
  airports.airport_name,
  airports.region
HAVING
  COUNT(*) >= @min_flights
