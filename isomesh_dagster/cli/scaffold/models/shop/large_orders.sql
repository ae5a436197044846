MODEL (
  name shop.large_orders,
  kind VIEW,
  description 'Orders that somebody should look at.'
);

SELECT
  order_id,
  ordered_on,
  amount
FROM shop.orders
WHERE
  amount >= 100
