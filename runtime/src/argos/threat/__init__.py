"""CrowdSec's decisions, asked and changed through its local API (LAPI), and who must not be banned by mistake."""
