import os

# No test reaches the network, and two cores are shared: spinning threads would only slow the others down.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("KMP_BLOCKTIME", "0")
