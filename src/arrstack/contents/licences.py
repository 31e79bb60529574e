"""Pure: a licence's name as Debian or an author writes it -> SPDX's identifier, where it has one.

Sources: debian/copyright 1.0, "Short name"; the SPDX licence list.
"""

import re

_NAMES = {
    "expat": "MIT",
    "mit license": "MIT",
    "mit/x11": "MIT",
    "x11": "X11",
    "psf": "PSF-2.0",
    "python-2.0": "Python-2.0",
    "python software foundation license": "PSF-2.0",
    "apache software license": "Apache-2.0",
    "apache 2.0": "Apache-2.0",
    "apache-2": "Apache-2.0",
    "apache license 2.0": "Apache-2.0",
    "apache license, version 2.0": "Apache-2.0",
    "mozilla public license 2.0 (mpl 2.0)": "MPL-2.0",
    "isc license (iscl)": "ISC",
    "bsd-2": "BSD-2-Clause",
    "bsd-3": "BSD-3-Clause",
    "artistic": "Artistic-1.0-Perl",
    "zlib/libpng": "Zlib",
    "boost-1.0": "BSL-1.0",
    "bsl-1.0": "BSL-1.0",
    "the unlicense (unlicense)": "Unlicense",
}
_GNU = re.compile(r"(A?GPL|LGPL|GFDL)[- ]?v?(\d)(?:\.(\d))?(\+)?", re.IGNORECASE)


def spdx(name: str) -> str:
    """`GPL-2+` is `GPL-2.0-or-later`, `Expat` is `MIT`; a name that is not known stays as it is."""
    if known := _NAMES.get(name.strip().lower()):
        return known
    if match := _GNU.fullmatch(name.strip()):
        return f"{match[1].upper()}-{match[2]}.{match[3] or '0'}-{'or-later' if match[4] else 'only'}"
    return name.strip()
