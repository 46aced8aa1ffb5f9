/* base/list.h - intrusive doubly linked lists. A head and a member are the same struct; an empty head points at
 * itself. */
#ifndef SAMPAN_BASE_LIST_H
#define SAMPAN_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct list {
    struct list *next, *prev;
};

#define container_of(ptr, type, member) ((type *)(((char *)(ptr)) - offsetof(type, member)))

static inline void list_init(struct list *l)
{
    l->next = l->prev = l;
}
static inline bool list_empty(const struct list *head)
{
    return head->next == head;
}
static inline void list_add_tail(struct list *head, struct list *l)
{
    l->prev = head->prev, l->next = head;
    head->prev->next = l, head->prev = l;
}
static inline void list_add_head(struct list *head, struct list *l)
{
    list_add_tail(head->next, l);
}
/* Safe to repeat on a member initialised by list_init or removed before. */
static inline void list_remove(struct list *l)
{
    l->prev->next = l->next, l->next->prev = l->prev;
    list_init(l);
}
#define list_each(pos, head) for (struct list *pos = (head)->next; pos != (head); pos = pos->next)
/* The body may remove pos. */
#define list_each_safe(pos, head)                                                                                      \
    for (struct list *pos = (head)->next, *pos##_next = pos->next; pos != (head);                                      \
         pos = pos##_next, pos##_next = pos->next)

#endif
