/* SPDX-License-Identifier: GPL-2.0-or-later */
/* In the kernel, for the headers of abi/. */
#include <linux/build_bug.h>
