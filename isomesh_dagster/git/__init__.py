"""git: what the repository around a project says, and what a remote one has.

Here:     which files differ from a branch (`changes`), which commit they are of (`head`), who is at work (`author`), as
          the repository somebody works in tells (`local`);
          the refs of a remote and the files of its commits (`mirror`), by a git that trusts nothing it reads
          (`command`).
Not here: what that means (`graph/selection`, `plan/`), what is done about it and who is told (`delivery/`).
Imports:  config (the repository's), errors; the `git` program is run here and nowhere else.
Decided:  the program, not a library: it is there wherever people work, and knows every repository format. A branch is
          compared from where it was left (the merge base), so that what others did on it since is nobody's change here.
          A commit's files are written by us from git's objects, not checked out: attributes, filters, hooks and
          submodules never come into play, and every path and link is looked at before it is made.
"""
