/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The medium of a CD drive: tray, lock, changes, and how the host hears of them.
 * Source: MMC-5 6.38 (START STOP UNIT), 6.18 (PREVENT ALLOW MEDIUM REMOVAL), 6.7 (GET EVENT STATUS
 * NOTIFICATION), 6.12 (MECHANISM STATUS).
 *
 * A medium that the host ejects stays on the tray and comes back when the host loads it; one that the
 * user takes out is gone. A changed medium is announced twice: as a unit attention, and as an event for
 * hosts that poll for those.
 *
 * Locking: machine_lock.
 */
#include <string.h>

#include "core/bits.h"
#include "core/event.h"
#include "ide-internal.h"

#define START 0x01
#define LOEJ  0x02

#define EVENT_POLLED 0x01
#define EVENT_CLASS_MEDIA 4
#define EVENT_NONE_AVAILABLE 0x80
enum { MEDIA_NO_CHANGE = 0, MEDIA_EJECT_REQUEST = 1, MEDIA_NEW = 2, MEDIA_REMOVAL = 3 };
#define MEDIA_TRAY_OPEN 0x01
#define MEDIA_PRESENT   0x02

bool atapi_has_medium(const IdeDrive *drive)
{
    return drive->conf.blk && !drive->atapi.tray_open && blk_is_inserted(drive->conf.blk);
}

static void tell_tray(const IdeDrive *drive)
{
    const char *id = drive->conf.blk ? blk_id(drive->conf.blk) : NULL;

    event_emit(VM_EVENT_DEVICE_TRAY_MOVED, "{s:s, s:s, s:b}", "device", id ? id : "", "id",
               drive->dev.id ? drive->dev.id : "", "tray-open", (int)drive->atapi.tray_open);
}

static void medium_changed(IdeDrive *drive)
{
    IdeAtapi *a = &drive->atapi;

    a->medium_event = true;
    a->eject_event = false;
    if (atapi_has_medium(drive)) {
        a->unit_attention = true;
        a->attention_asc = ASC_MEDIUM_CHANGED;
    }
}

/* --- The user --- */

static void on_media_changed(void *opaque, bool inserted)
{
    IdeDrive *drive = opaque;

    drive->atapi.tray_open = !inserted;
    medium_changed(drive);
    tell_tray(drive);
}

static void on_eject_requested(void *opaque, bool force)
{
    ((IdeDrive *)opaque)->atapi.eject_event = true;
}

static bool on_tray_is_open(void *opaque)
{
    return ((IdeDrive *)opaque)->atapi.tray_open;
}

static bool on_tray_is_locked(void *opaque)
{
    return ((IdeDrive *)opaque)->atapi.locked;
}

const BlockDeviceOps atapi_device_ops = {
    .media_changed = on_media_changed,
    .eject_requested = on_eject_requested,
    .tray_is_open = on_tray_is_open,
    .tray_is_locked = on_tray_is_locked,
};

/* --- The host --- */

void atapi_start_stop(IdeDrive *drive, const uint8_t *packet)
{
    IdeAtapi *a = &drive->atapi;
    bool open = !(packet[4] & START);

    if (packet[4] >> 4 || !(packet[4] & LOEJ)) { /* power conditions, spinning up and down: nothing to do */
        atapi_complete(drive);
        return;
    }
    if (open && a->locked) {
        bool inserted = drive->conf.blk && blk_is_inserted(drive->conf.blk);
        atapi_check(drive, inserted ? SENSE_ILLEGAL_REQUEST : SENSE_NOT_READY, ASC_REMOVAL_PREVENTED, 2);
        return;
    }
    if (open != a->tray_open) {
        a->tray_open = open;
        medium_changed(drive);
        tell_tray(drive);
    }
    atapi_complete(drive);
}

void atapi_prevent_allow(IdeDrive *drive, const uint8_t *packet)
{
    drive->atapi.locked = packet[4] & 1;
    atapi_complete(drive);
}

static uint8_t take_event(IdeDrive *drive)
{
    IdeAtapi *a = &drive->atapi;

    if (a->medium_event) {
        a->medium_event = false;
        return atapi_has_medium(drive) ? MEDIA_NEW : MEDIA_REMOVAL;
    }
    if (a->eject_event) {
        a->eject_event = false;
        return MEDIA_EJECT_REQUEST;
    }
    return MEDIA_NO_CHANGE;
}

void atapi_event_status(IdeDrive *drive, const uint8_t *packet)
{
    uint8_t *b = drive->buf;
    uint32_t len = 4, allocated = load_be(packet + 7, 2);

    if (!(packet[1] & EVENT_POLLED)) {
        atapi_check(drive, SENSE_ILLEGAL_REQUEST, ASC_INVALID_FIELD, 0);
        return;
    }
    memset(b, 0, 8);
    b[3] = BIT(EVENT_CLASS_MEDIA);
    if (!(packet[4] & BIT(EVENT_CLASS_MEDIA))) {
        b[2] = EVENT_NONE_AVAILABLE;
    } else {
        len = 8;
        b[2] = EVENT_CLASS_MEDIA;
        if (allocated > 4) /* an event that does not fit is not taken */
            b[4] = take_event(drive);
        b[5] = (drive->atapi.tray_open ? MEDIA_TRAY_OPEN : 0) | (atapi_has_medium(drive) ? MEDIA_PRESENT : 0);
    }
    store_be(b, len - 2, 2);
    atapi_reply(drive, len, allocated);
}

void atapi_mechanism_status(IdeDrive *drive, const uint8_t *packet)
{
    memset(drive->buf, 0, 8);
    drive->buf[1] = drive->atapi.tray_open ? 0x10 : 0;
    drive->buf[5] = 1; /* slots of a changer: MMC has a simple drive say 1 */
    atapi_reply(drive, 8, load_be(packet + 8, 2));
}
