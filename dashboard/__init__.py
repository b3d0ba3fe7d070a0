"""The Streamlit result views, the rating page and its API."""
