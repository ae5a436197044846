MODEL (
  name reports.carrier_months,
  kind VIEW,
  description 'Monthly punctuality by brand: regional carriers count for the airline whose colours they fly.',
  grain (month, brand),
  tags (report, punctuality)
);

SELECT
  CAST(DATE_TRUNC('month', days.flight_date) AS DATE) AS month,
  carriers.brand,
  SUM(days.flights) AS flights,
  SUM(days.on_time) / SUM(days.flights) AS on_time_share,
  SUM(days.cancelled) / SUM(days.flights) AS cancelled_share
FROM marts.carrier_days AS days
INNER JOIN core.carriers AS carriers
  ON carriers.carrier = days.carrier
GROUP BY
  CAST(DATE_TRUNC('month', days.flight_date) AS DATE),
  carriers.brand
