MODEL (
  name shop.order_lines,
  kind SEED (
    path '$root/seeds/order_lines.csv'
  ),
  description 'Order lines as they come in. A real project would read a table that somebody else loads.',
  columns (
    order_id INT,
    ordered_on DATE,
    product TEXT,
    quantity INT,
    price DECIMAL(10, 2)
  )
)
