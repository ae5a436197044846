MODEL (
  name shop.monthly_revenue,
  kind FULL,
  description 'Revenue per month.',
  grain month
);

SELECT
  DATE_TRUNC('month', ordered_on)::DATE AS month,
  COUNT(*) AS orders,
  SUM(amount) AS revenue
FROM shop.orders
GROUP BY
  DATE_TRUNC('month', ordered_on)::DATE
