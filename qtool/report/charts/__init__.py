"""The charts of report.html: data in, Vega-Lite specifications out, by Altair."""
