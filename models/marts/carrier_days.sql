MODEL (
  name marts.carrier_days,
  kind INCREMENTAL_BY_TIME_RANGE (
    time_column flight_date,
    batch_size 366,
    lookback 3
  ),
  end '2013-12-31',
  cron '@daily',
  description 'Punctuality per carrier and day. Three days are built again with each new one: late corrections of arrivals.',
  grain (flight_date, carrier),
  tags (mart, punctuality),
  audits (
    unique_combination_of_columns(columns := (flight_date, carrier)),
    shares_add_up
  )
);

SELECT
  flight_date,
  carrier,
  COUNT(*) AS flights,
  COUNT(*) FILTER (WHERE outcome = 'on time') AS on_time,
  COUNT(*) FILTER (WHERE outcome = 'late') AS late,
  COUNT(*) FILTER (WHERE outcome = 'cancelled') AS cancelled,
  COUNT(*) FILTER (WHERE outcome = 'diverted') AS diverted,
  AVG(departure_delay) AS mean_departure_delay,
  QUANTILE_CONT(arrival_delay, 0.5) AS median_arrival_delay,
  SUM(distance_miles) FILTER (WHERE outcome <> 'cancelled') AS miles_flown
FROM core.flights
WHERE
  flight_date BETWEEN @start_date AND @end_date
GROUP BY
  flight_date,
  carrier
