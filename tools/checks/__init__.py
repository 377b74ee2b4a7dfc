# SPDX-License-Identifier: GPL-2.0-or-later
"""The suites of ./check and what they stand on: processes, builds, results."""
