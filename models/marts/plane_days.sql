MODEL (
  name marts.plane_days,
  kind FULL,
  description 'How hard a plane worked on a day, and whether its delay grew from one departure to the next.',
  grain (tail_number, flight_date),
  tags (mart, fleet),
  audits (
    unique_combination_of_columns(columns := (tail_number, flight_date))
  )
);

WITH legs AS (
  SELECT
    tail_number,
    flight_date,
    air_minutes,
    departure_delay,
    departure_delay - LAG(departure_delay) OVER (
      PARTITION BY tail_number, flight_date
      ORDER BY scheduled_departure, flight_id
    ) AS delay_growth -- against the plane's departure from New York before
  FROM core.landed_flights
  WHERE
    NOT tail_number IS NULL
)
SELECT
  tail_number,
  flight_date,
  COUNT(*) AS departures,
  SUM(air_minutes) AS air_minutes,
  MAX(departure_delay) AS worst_departure_delay,
  SUM(delay_growth) AS delay_growth
FROM legs
GROUP BY
  tail_number,
  flight_date
