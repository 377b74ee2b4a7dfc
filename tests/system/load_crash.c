/* SPDX-License-Identifier: GPL-2.0-or-later */
/* load_crash KERNEL INITRD LINE: what the kernel goes to when it crashes, as kexec-tools load it.
 */
#include <fcntl.h>
#include <linux/kexec.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	int kernel = argc == 4 ? open(argv[1], O_RDONLY) : -1;
	int initrd = argc == 4 ? open(argv[2], O_RDONLY) : -1;

	if (kernel < 0 || initrd < 0 ||
	    syscall(SYS_kexec_file_load, kernel, initrd, strlen(argv[3]) + 1, argv[3],
		    KEXEC_FILE_ON_CRASH) < 0) {
		perror("load_crash");
		return 1;
	}
	return 0;
}
