/* Goes to other teams, so its schema tells which system it comes from: `shared` in production, `shared_preview` elsewhere. */
MODEL (
  name @{share_schema}.carrier_scorecard,
  kind FULL,
  description 'One line per carrier: volume, punctuality, and its rank within its business model.',
  grain carrier,
  tags (report, shared),
  audits (
    unique_values(columns := (carrier)),
    not_null(columns := (carrier, carrier_name, punctuality_rank)),
    number_of_rows(threshold := @IF(@gateway = 'production', 15, 1))
  )
);

WITH totals AS (
  SELECT
    carrier,
    SUM(flights) AS flights,
    SUM(on_time) / SUM(flights) AS on_time_share,
    SUM(cancelled) / SUM(flights) AS cancelled_share,
    SUM(miles_flown) AS miles_flown
  FROM marts.carrier_days
  GROUP BY
    carrier
)
SELECT
  totals.carrier,
  carriers.carrier_name,
  carriers.business_model,
  totals.flights,
  totals.on_time_share,
  totals.cancelled_share,
  totals.miles_flown,
  RANK() OVER (PARTITION BY carriers.business_model ORDER BY totals.on_time_share DESC) AS punctuality_rank,
  @gateway AS computed_by
FROM totals
INNER JOIN core.carriers AS carriers
  ON carriers.carrier = totals.carrier
