"""Tables, figures and the HTML page, drawn from result tables."""
