MODEL (
  name shop.orders,
  kind INCREMENTAL_BY_TIME_RANGE (
    time_column ordered_on
  ),
  end '2024-03-31',
  description 'Orders, built day by day: only days that are missing are computed.',
  audits (
    not_null(columns := (order_id, ordered_on)),
    unique_values(columns := (order_id)),
    positive_amount
  )
);

SELECT
  order_id,
  ordered_on,
  COUNT(*) AS lines,
  SUM(quantity * price) AS amount
FROM shop.order_lines
WHERE
  ordered_on BETWEEN @start_date AND @end_date
GROUP BY
  order_id,
  ordered_on
