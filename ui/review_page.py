"""The review page: a person edits the result of a sweep and makes it the current configuration.

`tune-app ui` serves it, behind guarded_page.py.
"""

from __future__ import annotations

import gc
import sys
from pathlib import Path

import streamlit as st

sys.path.insert(0, str(Path(__file__).parent))

import architecture_page
import health_page
import profiles_page
import review_form
import studies_page
import sweep_page
import trials_page
from address import read_address
from admission import require_token
from drafts import show_unsaved
from sources import choose_study


@st.cache_resource
def _keep_imports() -> None:
    """Exclude the imported objects from the garbage collection after each run, which saves 0.12 s."""
    gc.freeze()


_keep_imports()
st.set_page_config(page_title="tune-app", page_icon="🎛️", layout="wide")
# The empty span keeps it part of the page: Streamlit puts a lone style where the next toast replaces it.
st.html(f"<style>{Path(__file__).with_name('page_style.css').read_text(encoding='utf-8')}</style><span></span>")
require_token()
pages = {
    "trials": st.Page(trials_page.show, title="Trials", icon=":material/table_rows:", default=True),
    "sweep": st.Page(sweep_page.show, title="Sweep", icon=":material/rocket_launch:", url_path="sweep"),
    "review": st.Page(review_form.show, title="Review", icon=":material/edit_note:", url_path="review"),
    "architecture": st.Page(
        architecture_page.show, title="Architecture", icon=":material/deployed_code:", url_path="architecture"
    ),
    "profiles": st.Page(profiles_page.show, title="Profiles", icon=":material/bookmarks:", url_path="profiles"),
    "studies": st.Page(studies_page.show, title="Studies", icon=":material/stacks:", url_path="studies"),
    "health": st.Page(health_page.show, title="Health", icon=":material/monitor_heart:", url_path="health"),
}
st.session_state["pages"] = pages  # for a part that leads to another one
# The first part has no path of its own, yet people type the one that it would have.
typed = st.Page(lambda: st.switch_page(pages["trials"]), title="Trials", url_path="trials", visibility="hidden")
page = st.navigation([*pages.values(), typed])
read_address()
choose_study()
show_unsaved()
page.run()
