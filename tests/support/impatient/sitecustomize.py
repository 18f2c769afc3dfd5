"""Have a program wait for a MongoDB that is not there as long as a test can.

Python imports this when it starts, in the programs of a test that uses the fixture ``impatient``:
the whole program runs as it is, but for the seconds that one call may take.
"""

import os

from tokenward.repositories.mongo._store import MongoStore

MongoStore.__init__.__kwdefaults__["timeout"] = float(os.environ["MONGO_SECONDS"])
