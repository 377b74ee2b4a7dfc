/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What each verb of the table does. */
#ifndef OYA_CLI_VERBS_H
#define OYA_CLI_VERBS_H

#include <jansson.h>
#include <stdbool.h>

#include "cli/command.h"

void vm_list(struct command_call *c);
void vm_show(struct command_call *c);
void vm_create(struct command_call *c);
void vm_start(struct command_call *c);
void vm_stop(struct command_call *c);
void vm_save(struct command_call *c);
void vm_cluster(struct command_call *c);
/* What the engine has of a VM, as lines. */
void vm_show_place(struct command_call *c, const json_t *place);
void vm_migrate(struct command_call *c);
void vm_move_storage(struct command_call *c);
void vm_discard(struct command_call *c);
void vm_pause(struct command_call *c);
void vm_resume(struct command_call *c);
void vm_reset(struct command_call *c);
void vm_reboot(struct command_call *c);
void vm_nmi(struct command_call *c);
void vm_set(struct command_call *c);
void vm_delete(struct command_call *c);
void vm_stat(struct command_call *c);
void disk_list(struct command_call *c);
void disk_add(struct command_call *c);
void disk_remove(struct command_call *c);
void disk_resize(struct command_call *c);
void image_list(struct command_call *c);
void image_import(struct command_call *c);
void image_delete(struct command_call *c);
void vm_import(struct command_call *c);
void job_cancel(struct command_call *c);
void nic_list(struct command_call *c);
void nic_add(struct command_call *c);
void nic_remove(struct command_call *c);
void console_open(struct command_call *c);
void job_list(struct command_call *c);
void job_show(struct command_call *c);
void job_wait(struct command_call *c);
void host_show(struct command_call *c);
void host_processor(struct command_call *c);
void host_trust(struct command_call *c);
void host_drain(struct command_call *c);
void host_resume(struct command_call *c);
void cluster_create(struct command_call *c);
void cluster_join(struct command_call *c);
void cluster_token(struct command_call *c);
void cluster_leave(struct command_call *c);
void cluster_remove(struct command_call *c);
void cluster_destroy(struct command_call *c);
void cluster_status(struct command_call *c);
void cluster_start(struct command_call *c);
void cluster_stop(struct command_call *c);
void cluster_balance(struct command_call *c);
void cluster_add_fencing(struct command_call *c);
void cluster_remove_fencing(struct command_call *c);
void cluster_test_fencing(struct command_call *c);
void cluster_fencing(struct command_call *c);
void cluster_log(struct command_call *c);
void cluster_witness(struct command_call *c);
void token_list(struct command_call *c);
void token_create(struct command_call *c);
void token_delete(struct command_call *c);
void switch_list(struct command_call *c);
void switch_show(struct command_call *c);
void switch_create(struct command_call *c);
void switch_delete(struct command_call *c);
void switch_confirm(struct command_call *c);
void host_stop_vms(struct command_call *c);
void events_follow(struct command_call *c);
void doctor_look(struct command_call *c);
void top_show(struct command_call *c);

/* ---- shared by them ---- */

/* Rungs, and VMs whose storage none cuts off, as lines of the status. */
void cluster_put_fencing(struct command_call *c, const json_t *status);

/* The settings that the options of `create` make; NULL: told what is wrong. */
json_t *vm_settings_of_options(struct command_call *c);

/* A file's whole path, from our folder on, as a member. 0, or -EINVAL and the sentence. */
int command_set_file(const struct command_call *c, json_t *obj, const char *key, const char *name,
		     struct failure *f);

/* The same of an image: a name of the store's, or a file, which has a slash. */
int command_set_image(const struct command_call *c, json_t *obj, const char *key, const char *name,
		      struct failure *f);

/* A disk's file is an image that is there, from our folder on, or a size: then a new image of that
 * name in the VM's folder. 0, or -EINVAL and the sentence. */
int vm_set_image(const struct command_call *c, json_t *disk, const char *name, struct failure *f);

/* The merge patch of operands KEY=VALUE; NULL: told what is wrong. */
json_t *vm_patch_of_operands(struct command_call *c, char **operand, unsigned count);

/* Keys that `vm set` knows, for completion; NULL at the end. */
const char *vm_known_key(unsigned i);

/* Asks for a list page by page: the members `name` of all. Hidden calls too. False: told, or a dry
 * run. */
bool list_all(struct command_call *c, const char *name, json_t **ret_list);

/* Prints by draw() once, or with --watch at each change anew. */
void list_watch(struct command_call *c, void (*draw)(struct command_call *c));

/* Whether the cluster survives the loss of a host, to be freed; NULL: a dry run, or no memory. */
json_t *cluster_survival(struct command_call *c);
void cluster_print_survival(struct command_call *c, const json_t *survival);

/* Begins what is answered by a job: follows it, or prints its number with --no-wait. True when it
 * has ended well. */
bool job_begin(struct command_call *c, const struct api_request *request, const char *doing);

/* The same, with the job as it ended in *ret_job, to be freed; or NULL. */
bool job_begin_for(struct command_call *c, const struct api_request *request, const char *doing,
		   json_t **ret_job);

/* Waits for the end of a job that was shown so, which is taken; false: it failed, which has been
 * told. *ret_job: as it ended, or NULL. */
bool job_follow(struct command_call *c, json_t *job, const char *doing, json_t **ret_job);

#endif
