-- What wrk asks: every request is about a person drawn at random. See people.py, whose arithmetic this repeats.
--
-- wrk ... -- KIND PEOPLE CREDENTIAL, and for captures FORM MOMENT: each about a person whom nobody has seen yet.

local multipliers = {2654435761, 2246822519, 3266489917, 668265263}
local started = 0

function setup(thread)
  started = started + 1
  thread:set("number", started)
end

local function subject(person)
  local words = {}
  for index, factor in ipairs(multipliers) do
    words[index] = string.format("%08x", person * factor % 4294967296)
  end
  return table.concat(words)
end

local kinds = {
  empty = function()
    return wrk.format("GET", "/empty")
  end,
  lookup = function(person)
    return wrk.format("GET", "/latest/" .. subject(person))
  end,
  service = function(person)
    local body = '{"subject":{"email":"person' .. person
      .. '@kunde.example"},"purpose":"newsletter","channel":"email"}'
    return wrk.format("POST", "/v1/checks", wrk.headers, body)
  end,
  peer = function(person)
    return wrk.format("GET", "/api/c15t/consents/check?externalId=customer" .. person .. "&type=marketing_communications")
  end,
}

local captured = 0

kinds.capture = function()
  captured = captured + 1
  local body = '{"subject":{"email":"new' .. seed .. "x" .. captured .. '@kunde.example"},"form":"' .. form
    .. '","language":"nb","decisions":[{"purpose":"customer_survey","channel":"email","granted":true}],'
    .. '"evidence":{"method":"web_form","act":"checkbox_ticked","occurred_at":"' .. moment .. '"}}'
  return wrk.format("POST", "/v1/consents", wrk.headers, body)
end

function init(arguments)
  ask = kinds[arguments[1]]
  people = tonumber(arguments[2])
  seed = os.time() * 16 + number
  math.randomseed(seed)
  form, moment = arguments[4], arguments[5]
  if arguments[1] == "service" or arguments[1] == "capture" then
    wrk.headers["Authorization"] = "Bearer " .. arguments[3]
    wrk.headers["Content-Type"] = "application/json"
  end
end

function request()
  return ask(math.random(0, people - 1))
end

function done(summary, latency, _)
  local errors = summary.errors
  io.write(string.format(
    '\n{"requests": %d, "microseconds": %d, "p50_us": %d, "p99_us": %d, "refused": %d, "broken": %d}\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
    errors.status, errors.connect + errors.read + errors.write + errors.timeout
  ))
end
