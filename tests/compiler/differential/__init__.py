"""Differential tests of the handler compiler: random programs must do the same in every engine.

- `chooser.py`: where choices come from, a seed or Hypothesis
- `generate.py`: a program as source text, with inputs; `classes.py`, `values.py`, `scope.py`, `expressions.py`,
  `statements.py` and `loops.py` are its parts
- `reference.py`: the source text as plain Python on typed numbers, which checks the front end; `typed_numbers.py`,
  `typed_memory.py`
- `ir_programs.py`: programs of the intermediate representation, which check engines with what no front end makes
- `engines.py`, `runner.py`: every engine against the interpreter; `reduce.py` makes what differs smaller
- `campaign.py`: long runs, by scripts/differential; `ir_coverage.py`: what the programs use
"""
