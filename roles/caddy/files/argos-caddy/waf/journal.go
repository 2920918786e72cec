package waf

import (
	"encoding/json"
	"time"

	"github.com/DeRuina/timberjack"
	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"
)

const (
	queueLength   = 1024
	rotateMB      = 20
	rotatedFiles  = 4
	complainEvery = time.Minute
)

// journals holds one writer per path, over reloads.
var journals = caddy.NewUsagePool()

// journal writes events as JSON lines, from a bounded queue: a full queue or a full disk drops events and counts them,
// and never holds a request up (DAT-4).
type journal struct {
	queue chan *event
	stop  chan struct{}
	done  chan struct{}
	file  *timberjack.Logger
	log   *zap.Logger
}

func openJournal(path string, log *zap.Logger) *journal {
	v, _, _ := journals.LoadOrNew(path, func() (caddy.Destructor, error) {
		j := &journal{queue: make(chan *event, queueLength), stop: make(chan struct{}), done: make(chan struct{}), log: log,
			file: &timberjack.Logger{Filename: path, MaxSize: rotateMB, MaxBackups: rotatedFiles, FileMode: 0o640}}
		go j.run()
		return j, nil
	})
	return v.(*journal)
}

// Destruct writes what is queued and closes the file.
func (j *journal) Destruct() error {
	close(j.stop)
	<-j.done
	return j.file.Close()
}

func (j *journal) add(e *event) {
	select {
	case j.queue <- e:
		counts.events.Add(1)
	default:
		counts.dropped.Add(1)
	}
}

func (j *journal) run() {
	defer close(j.done)
	var complained time.Time
	write := func(e *event) {
		line, err := json.Marshal(e)
		if err == nil {
			_, err = j.file.Write(append(line, '\n')) // opens the file at the first event
		}
		if err != nil {
			counts.dropped.Add(1)
			if time.Since(complained) > complainEvery {
				complained = time.Now()
				j.log.Error("the WAF's event log cannot be written", zap.String("file", j.file.Filename), zap.Error(err))
			}
		}
	}
	for {
		select {
		case e := <-j.queue:
			write(e)
		case <-j.stop:
			for {
				select {
				case e := <-j.queue:
					write(e)
				default:
					return
				}
			}
		}
	}
}
