import sys

from facesr import main

sys.exit(main())
