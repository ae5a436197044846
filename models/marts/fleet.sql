MODEL (
  name marts.fleet,
  kind FULL,
  description 'Utilisation of the fleet by manufacturer and size. Planes outside the register are left out.',
  grain (manufacturer, size_class),
  tags (mart, fleet),
  audits (
    unique_combination_of_columns(columns := (manufacturer, size_class))
  )
);

SELECT
  planes.manufacturer,
  planes.size_class,
  COUNT(DISTINCT planes.tail_number) AS planes,
  AVG(planes.age_in_2013) AS mean_age,
  SUM(days.departures) AS departures,
  SUM(days.departures) / COUNT(*) AS departures_per_plane_day,
  SUM(days.air_minutes) / 60 AS air_hours,
  AVG(days.worst_departure_delay) AS mean_worst_delay
FROM marts.plane_days AS days
INNER JOIN core.planes AS planes
  ON planes.tail_number = days.tail_number
GROUP BY
  planes.manufacturer,
  planes.size_class
HAVING
  SUM(days.departures) >= @min_flights
