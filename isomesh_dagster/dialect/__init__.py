"""dialect: everything that reads SQL text.

Here:     tokens (text as tokens with places), header and values (definition files, their blocks, statements and
          property values), canonical (the form that is fingerprinted), query (tables, columns and rewrites of a query),
          merge (pieces of a MERGE), time_formats (of dialects), summary (what each output column and the row set
          depend on).
Behind:   query and summary are values and doors and need no sqlglot to be imported. Trees are parsed and resolved in
          tree, read in facts, rewritten in rewrite (by typed: types of expressions, and idioms: what the library would
          say too literally; for Postgres in postgres_idioms, postgres_dates, postgres_clauses, by filled),
          qualified against known columns in qualified (proven: those a query proves), and summarised in lineage
          (expressions: what those come to, scope: what names mean, rowcount: what multiplies rows).
          testable is the query as a unit test runs it; findings (by doubts) what lint rules ask about one,
          stars writes one out, cast_names names columns, counterpart finds a word again in text that was made of it.
          Layout works on tokens, so that text keeps its meaning to the letter: atoms (tokens and macros with their
          comments), spacing, casing, printer (documents to lines), layout (one query), file_layout (a file), style.
Not here: the meaning of properties (`model/`), macros (`macros/`), what a difference between two queries means
          (`plan/`).
Imports:  relation, errors; sqlglot lives here and in `macros/`, nowhere else.
Decided:  sqlglot's classes are used as they come, never subclassed or patched: its compiled build forbids instances of
          subclasses. So headers are read by a recursive descent of our own over stock tokens, and queries run as the
          author wrote them, with text spliced at token and node positions. No sqlglot node leaves this room in a value.
"""
