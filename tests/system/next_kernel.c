/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Another kernel in this one's place, as kexec-tools do it:
 *   next_kernel crash KERNEL INITRD LINE    when this one crashes
 *   next_kernel now KERNEL INITRD LINE      at once
 */
#include <fcntl.h>
#include <linux/kexec.h>
#include <linux/reboot.h>
#include <stdio.h>
#include <string.h>
#include <sys/reboot.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	int now = argc == 5 && strcmp(argv[1], "now") == 0;
	int kernel = argc == 5 ? open(argv[2], O_RDONLY) : -1;
	int initrd = argc == 5 ? open(argv[3], O_RDONLY) : -1;

	if (kernel < 0 || initrd < 0 ||
	    syscall(SYS_kexec_file_load, kernel, initrd, strlen(argv[4]) + 1, argv[4],
		    now ? 0ul : (unsigned long)KEXEC_FILE_ON_CRASH) < 0) {
		perror("next_kernel");
		return 1;
	}
	sync();
	if (now)
		(void)reboot((int)LINUX_REBOOT_CMD_KEXEC);
	return now;
}
