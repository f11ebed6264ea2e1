"""The compiler library, level 1 of the stack ``qtool -> passes -> hwmodels``.

The package holds more than passes: the intermediate representation and the numerics live here too, as LLVM's
``lib/`` lies below its ``tools/``. Inside it imports go one way only::

    numerics < artifact < ir < api < lowering < execution < analysis < training
             < transform | allocation < registry < pipeline < manager < testing
"""
