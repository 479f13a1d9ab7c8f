-- SPDX-License-Identifier: GPL-3.0-or-later
-- Parks a request while the map's key `hold` is a moment in the future (epoch milliseconds), then lets it go on.
-- Nothing has to end a hold: it is over when that moment has passed, whatever became of who set it.
-- Loaded once a thread, so the variables below belong to one thread and need no lock.

local map = Map.new(os.getenv("PG_CUTOVER_MAP"), Map._str)
-- Requests a second that may leave the hold together with the other threads; 0: all at once.
local rate = tonumber(os.getenv("PG_CUTOVER_RELEASE_RATE")) or 0

local held_by = "0" -- the hold that `parked` counts for
local parked = 0
local next_start = 0 -- when the next parked request may start
local gap = nil -- milliseconds between two starts on this thread

-- The key as it is, and how long it lasts yet.
local function left(txn)
    local value = map:lookup("hold") or "0"
    -- The wall clock: core.now() may have another origin.
    return value, (tonumber(value) or 0) - txn.f:date(0, "ms")
end

-- Waits for this request's turn: parked requests do not all reach the database in the same millisecond.
local function pace(txn)
    if rate <= 0 then
        return
    end
    gap = gap or 1000 * (tonumber(core.get_info()["Nbthread"]) or 1) / rate
    local now = txn.f:date(0, "ms")
    local start = math.max(next_start, now)
    next_start = start + gap
    if start - now >= 1 then
        core.msleep(math.floor(start - now))
    end
end

core.register_action("pg_cutover_hold", { "http-req" }, function(txn)
    local value, remaining = left(txn)
    if remaining <= 0 then
        return
    end
    -- Should HAProxy end this action before its time (a client that goes away within its upload: sleeping is not
    -- possible then, and tune.lua.session-timeout strikes), the configuration refuses the request by this mark.
    txn:set_var("txn.parked", true)
    while remaining > 0 do
        if value ~= held_by then
            held_by, parked, next_start = value, 0, 0
        end
        parked = parked + 1
        while remaining > 0 and value == held_by do
            -- Few look every millisecond; many look less often, so that looking does not fill the processor.
            core.msleep(math.min(remaining, 10, 1 + parked // 100))
            value, remaining = left(txn)
        end
        if remaining <= 0 then
            pace(txn)
            -- Another hold may have begun meanwhile.
            value, remaining = left(txn)
        end
    end
    txn:unset_var("txn.parked")
end)
