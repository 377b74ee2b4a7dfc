/* SPDX-License-Identifier: GPL-2.0-or-later */
/* /dev/oya, which speaks KVM's interface as far as it goes; what is not there is said so. */
#ifndef OYA_PARENT_DEVICE_H
#define OYA_PARENT_DEVICE_H

/* 0 or a negative errno. */
int oya_device_init(void);
void oya_device_done(void);

/* Of KVM_CHECK_EXTENSION, for /dev/oya and for a VM. */
int oya_extension(unsigned long which);

#define OYA_MSR_REASONS \
	(KVM_MSR_EXIT_REASON_INVAL | KVM_MSR_EXIT_REASON_UNKNOWN | KVM_MSR_EXIT_REASON_FILTER)

#endif
