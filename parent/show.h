/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What administrators and tests see of the hypervisor, in debugfs below oya/: `log`, its text so
 * far; `info`, a line for each number; `call`, the cycles of the time-stamp counter that a call
 * takes which does nothing, the least of many.
 */
#ifndef OYA_PARENT_SHOW_H
#define OYA_PARENT_SHOW_H

/* 0 or a negative errno. */
int oya_show_init(void);
void oya_show_done(void);

#endif
