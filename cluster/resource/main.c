/* SPDX-License-Identifier: GPL-2.0-or-later */
/* oya-resource: the resource agents of the cluster engine; which one, the name says that it is started by. */
#include "base/util.h"
#include "cluster/resource/ocf.h"

int main(int argc, char **argv)
{
	static const struct ocf_agent *const agents[] = {&ocf_vm};

	return (int)ocf_main(agents, ARRAY_LEN(agents), argc, argv);
}
