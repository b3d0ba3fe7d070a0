"""The rating page, its API and the page that watches a study."""
