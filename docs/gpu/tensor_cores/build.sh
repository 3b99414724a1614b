#!/bin/bash
# build.sh [nvcc] [flags]: tensor_cores.so and build.txt (registers, spills, warnings)
cd "$(dirname "$0")" || exit 1
nvcc=${1:-nvcc}; shift
target="-gencode=arch=compute_90a,code=sm_90a"
for f in products flash flash_backward adamw norm runtime; do
  [ -f $f.cu ] || continue
  ( $nvcc -O3 -std=c++20 $target -lineinfo -Xptxas -v -Xcompiler -fPIC,-fvisibility=hidden -cudart static "$@" -c $f.cu -o $f.o > $f.log 2>&1; echo "exit $?" >> $f.log ) &
done; wait
cat *.log > build.txt; rm -f ./*.log
$nvcc -shared -cudart static $target -L"$(dirname "$nvcc")/../lib" "$@" ./*.o -Xlinker -s -o tensor_cores.so >> build.txt 2>&1; rc=$?
rm -f ./*.o
echo "link exit $rc" >> build.txt
grep -E "C75|error|warning|exit [^0]" build.txt
grep -E "Compiling entry|spill|Used" build.txt | sed 's/ptxas info *: //; s/for .sm_90a.//' | paste - - - | awk '{print}' | sed 's/Compiling entry function//; s/Used/ Used/; s/, used.*//' > summary.txt
[ $rc = 0 ] && ! grep -q '^exit [^0]' build.txt
