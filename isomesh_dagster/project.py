"""The front door: one project under one gateway.

    project = Project.load(".", gateway="production")
    plan = project.plan("prod")
    for event in project.apply(plan): ...

Files and configuration are read at `load` and again never; the state and the warehouse are opened on first use. This is the one
module that reads the clock.
"""
