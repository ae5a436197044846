"""git: what the repository around a project says.

Here:     which files differ from a branch.
Not here: what that means (`graph/selection`, `plan/`).
Imports:  errors; the `git` program is run here and nowhere else.
Decided:  the program, not a library: it is there wherever people work, and knows every repository format. A branch is
          compared from where it was left (the merge base), so that what others did on it since is nobody's change here.
"""
