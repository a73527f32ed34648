"""The review page: what a sweep found, changed by a person, made the configuration in force.

streamlit run ui/review_page.py
"""

from __future__ import annotations

import sys
from pathlib import Path

import streamlit as st

sys.path.insert(0, str(Path(__file__).parent))

import architecture_page
import health_page
import profiles_page
import review_form
import sweep_page
import trials_page
from common import choose_study, require_token

st.set_page_config(page_title="tune-app", page_icon=":material/tune:", layout="wide")
require_token()
page = st.navigation(
    [
        st.Page(trials_page.show, title="Trials", icon=":material/table_rows:", url_path="trials", default=True),
        st.Page(sweep_page.show, title="Sweep", icon=":material/rocket_launch:", url_path="sweep"),
        st.Page(review_form.show, title="Review", icon=":material/edit_note:", url_path="review"),
        st.Page(architecture_page.show, title="Architecture", icon=":material/deployed_code:", url_path="architecture"),
        st.Page(profiles_page.show, title="Profiles", icon=":material/bookmarks:", url_path="profiles"),
        st.Page(health_page.show, title="Health", icon=":material/monitor_heart:", url_path="health"),
    ]
)
choose_study()
page.run()
