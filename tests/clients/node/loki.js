// Logs through pino-loki and winston-loki: `loki.js BASE_URL LINES`.
import pino from 'pino'
import winston from 'winston'
import LokiTransport from 'winston-loki'

const [base, lines] = [process.argv[2], Number(process.argv[3])]
const part = (i) => (i % 2 === 0 ? 'even' : 'odd')
const fail = (error) => {
  console.error(error)
  process.exit(1)
}

// pino's worker does not keep the process alive until it has delivered.
const alive = setInterval(() => {}, 1000)

const transport = pino.transport({
  target: 'pino-loki',
  options: { host: base, labels: { app: 'pino-loki', replica: 3 }, batching: { interval: 1 }, silenceErrors: false },
})
transport.on('error', fail)
const logger = pino({ level: 'info' }, transport)
for (let i = 0; i < lines; i++) logger.error({ part: part(i), n: i }, `line ${i}`)
await new Promise((resolve) => {
  transport.on('close', resolve)
  logger.flush(() => transport.end())
})

for (const [json, app] of [[true, 'winston-loki-json'], [false, 'winston-loki-proto']]) {
  const loki = new LokiTransport({
    host: base, json, labels: { app }, batching: true, interval: 1, gracefulShutdown: false,
    format: winston.format.json(), onConnectionError: fail, useWinstonMetaAsLabels: false,
  })
  const log = winston.createLogger({ transports: [loki] })
  for (let i = 0; i < lines; i++) {
    // Metadata of all kinds: a line with it must not hold up those behind it.
    log.error({ message: `line ${i}`, labels: { part: part(i) }, structuredMetadata: { n: i, nested: { a: [1, true, null] } } })
  }
  await loki.flush()
  loki.close()
}
clearInterval(alive)
process.exit(0)
