# The repository's own report, benchmarks/report: every form of the shipped models, the seed preset and other engines, in one run.
#
#     make -f benchmarks/edge_seg_lab/report.mk DATA=FOLDER
#
# Run it from a checkout. FOLDER holds the sets `paediatric`, `adult` and `adult-v7`. It needs `pip install '.[train,report,peers,tflite]'` (Python 3.10
# or 3.11), and to count ARM instructions Debian with a C compiler; `INSTRUCTIONS=` skips the counts, `ENGINES='litert onnxruntime'`
# selects other engines. It shows only the phantom's films. Measured on AMD EPYC, 2 cores: 17 minutes on family 26, of which
# the instructions take 6, and about twice that on an earlier one.
export PYTHONPATH := benchmarks:$(PYTHONPATH)
DATA ?= data
WORK ?= build/report
OUT ?= benchmarks/report
INSTRUCTIONS ?= $(WORK)/instructions.json
ENGINES ?= litert tflite onnxruntime openvino
FAMILY := lungs-large lungs-nano lungs
FILMS := $(addprefix --data $(DATA)/,paediatric adult adult-v7)
MODELS := $(foreach name,$(FAMILY),$(foreach form,.float32 .float16 .dynamic .ptq ,$(WORK)/$(name)$(form).tflite) $(WORK)/$(name).tflite)

.PHONY: report
report: $(WORK)/seed.float32.tflite $(MODELS) $(INSTRUCTIONS)
	edge-seg benchmark $(WORK)/seed.float32.tflite $(MODELS) --time-only seed $(FILMS) --data phantom \
		$(addprefix --engine ,$(ENGINES)) --threads 1 --threads 2 \
		$(addprefix --instructions ,$(INSTRUCTIONS)) --pictures phantom --out $(OUT)

$(WORK)/seed.float32.tflite:
	mkdir -p $(WORK)
	python -m edge_seg_quantize.untrained seed --out $@

$(WORK)/%.float32.tflite $(WORK)/%.float16.tflite $(WORK)/%.dynamic.tflite $(WORK)/%.ptq.tflite $(WORK)/%.tflite:
	python -m edge_seg_quantize.variants $* $(FILMS) --out $(WORK)

$(WORK)/instructions.json: $(MODELS)
	python -m edge_seg_lab.instructions \
		$(foreach name,$(FAMILY),$(WORK)/$(name).float32.tflite $(WORK)/$(name).tflite) --work $(WORK)/arm64 --out $@
