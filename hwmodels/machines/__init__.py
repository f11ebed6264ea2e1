"""The architectures: one class each, with the formulas and file readers that belong to it.

`registry` maps the ``architecture`` of a machine file to its class; nothing else imports these modules.
"""
